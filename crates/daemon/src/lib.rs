//! HTTP over the engine: routes, API versions, configuration and start-up.
