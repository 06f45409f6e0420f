"""Neural-network building blocks: modules, layers, initialisation and the functional face of the ops."""
