"""What papers, code repositories and an article publish, as data, and the ledger that checks it.

A YAML file here says, for every figure, where it is printed and how to measure it again; facts.py reads them all,
checks.py and its neighbours measure, ledger.py judges. Nothing that measures is given the published figure.
"""
