"""Our own Lava processes; a leaf package, because Lava executes every file beside a Process again."""
