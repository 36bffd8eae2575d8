"""Reports of runs, rules and comparisons: built as plain data (`document`), then written as HTML or Markdown."""
