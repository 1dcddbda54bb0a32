"""HTTP targets, and where their redirects may lead."""
