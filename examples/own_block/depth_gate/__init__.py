"""An attention block of one's own: ``module`` is what is trained, ``block`` what the compiler knows about it."""
