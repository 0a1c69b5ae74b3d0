"""openpi's websocket policy protocol: `server.PolicyServer` serves a policy of ours, `client.RemotePolicy` asks any server.

`conventions` says what others, LeRobot among them, call what a policy sees and does; it needs no package beyond numpy.
"""
