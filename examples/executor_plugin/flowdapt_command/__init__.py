"""Run flowdapt's stages wherever a command leads."""
