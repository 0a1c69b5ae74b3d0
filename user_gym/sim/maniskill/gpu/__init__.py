"""n equal arms that PhysX steps together on a GPU: controller, friction, wrench and state as tensors with a leading n.

The same formulas as those beside this package have for one arm in numpy; tests hold the two together. Only
here does the simulator need torch. What needs a GPU is `physx_gpu` and `pictures` alone: the rest runs over any
`physics.Physics`, in tests over scenes on the CPU.
"""
