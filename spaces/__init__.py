"""Which designs exist: declarative spaces that can be counted, enumerated, sampled, encoded and decoded."""
