"""An environment that runs, judges and clamps on a robot's machine, stepped from elsewhere: one message each way.

    RemoteEnv -> Uplink ==client's stream== Hub: leases, switchboard ==edge's stream== Host -> Seat -> gymnasium.Env
        |                                                                                        |
        +------- same host and user: a Unix socket for orders, memory that both have mapped -----+

docs/remote.md says what a client sees. Nothing that comes over the network is named as code: an edge serves the ids that it was
told to, and a client may choose among the options that the edge leaves open.
"""
