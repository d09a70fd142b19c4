"""One file per command: a function with the command's name, whose signature is its command line.

These modules import typer and nothing heavy; everything else is imported inside the function, so that `dse --help`
stays fast.
"""
