"""Who may connect to a hub. `user-gym hub enroll` makes a bundle for an edge; the hub's books say whether it still counts.

    hub's folder: authority.pem, authority.key, roster.json, audit.jsonl      edge's machine: one bundle, mode 0600

An edge proves itself twice, with a certificate of the hub's own authority and with a token; the hub proves itself with a
certificate of that authority, which the bundle pins. Both can be taken away at any moment.
"""
