"""What the demo does with the register, stage by stage; ``run_demo.py`` is the command."""
