"""Reports: collect facts from the store, render them, write them to files. Facts first: templates
only show.
"""
