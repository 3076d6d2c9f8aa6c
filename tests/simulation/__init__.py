"""The store on a simulated disk, driven from one seed."""
