"""What every room's pages and API share: admission, problem details, words, templates, assets."""
