"""What nerfstudio's viewer shows of the lens: the panel "Macro lens", photographs and colour maps."""
