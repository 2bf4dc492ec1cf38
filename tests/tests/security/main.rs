//! What a container may not do, whatever is in it.

mod confinement;
mod copies;
mod escapes;
mod hostile;
mod kernel;
mod privileges;
mod surroundings;
