//! What the engine does: containers, exec, images, networks, volumes and events; owns the state, knows no HTTP.
