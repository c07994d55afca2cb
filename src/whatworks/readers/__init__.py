"""What reads files that strangers made: in a process of its own, which can do nothing else.

Each format is a module with a function ``read``, which yields items (``items``); it knows no store.
``apart`` starts a process with it (``child``), which gives up what it does not need
(``whatworks.confined``) before it opens a file, and hands items over as lines of JSON. So the
parsers are kept from the memory, its files and the network. Importers take the items, check them
again like any caller's, and write.
"""
