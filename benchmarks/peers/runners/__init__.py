"""One program per simulator; each is started by its path and finds ``serve`` beside it."""
