"""Object stores: one `Store` over any client of any service.

A service knows its endpoint, its credentials and its words; a client sends single requests and
tells what became of them; `ObjectStore` retries, verifies and explains.
"""
