"""A robot's machine and a learner's, with a bad network between them: one connection, dialled from the robot's side.

    edge: collector -> Spool -> Edge ==one gRPC stream, TLS== Hub -> Intake -> buffer
          policy <- Receiver <-                               <- Feed <- learner's weights

`wire` is bytes, `stream` a connection while it lasts, `identity` who may have one. docs/link.md says what is said on it, what
survives what, and what an attacker can do. It needs the extra "link".
"""
