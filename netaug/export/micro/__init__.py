"""C sources of an int8 network for a microcontroller: kernels, weights, one arena, and the test that checks them."""
