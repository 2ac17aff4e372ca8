"""Runs that earlier versions wrote load in this one."""
