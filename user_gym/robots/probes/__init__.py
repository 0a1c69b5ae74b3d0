"""Questions to devices that move nothing and take nothing from their owners: one file per kind of device.

A probe returns what it learned in words, or raises what is wrong. None is sent to a leased device that could notice it; that is
for `discovery` to see to.
"""
