"""The pages beside the status page. A view is one reader of the store, shown as a page by its
template and as JSON under /api/v1.
"""
