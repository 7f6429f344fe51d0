"""Behind the registry: what plugins brought, the plugins themselves, and what is remembered of them."""
