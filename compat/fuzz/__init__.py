"""The differential fuzzer: random sessions, played to the stock package and to ours, and compared.

Every session follows from the seed and its number, so that any of them can be played again: `sessions.py` makes them,
`converse.py` plays them, `known.py` knows the differences the ledger names, `campaign.py` runs many, and `shrink.py` makes
the smallest transcript that still shows a difference.
"""
