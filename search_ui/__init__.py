"""The door that finds: filtered search for analogs, as a service and as pages."""
