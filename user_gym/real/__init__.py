"""Drivers of real arms, cameras and hand-held devices. Vendor SDKs are imported here and nowhere else, inside `connect`."""
