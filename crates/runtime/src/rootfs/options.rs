//! Mount options in words, as fstab(5) and runc know them, turned into what the kernel's mount calls take.

use corten_sys::mount::{MountAttrFlags, MountPropagationFlags, Reach};

/// Attributes to set and to clear on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Set.
    pub(crate) set: MountAttrFlags,
    /// Cleared.
    pub(crate) clear: MountAttrFlags,
}

impl Attributes {
    const NONE: Self = Self {
        set: MountAttrFlags::empty(),
        clear: MountAttrFlags::empty(),
    };

    /// Whether there is nothing to change.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    fn add(&mut self, set: MountAttrFlags, clear: MountAttrFlags) {
        self.set = (self.set - clear) | set;
        self.clear = (self.clear - set) | clear;
    }
}

/// A mount's options, sorted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    /// Whether it is a bind mount, and of how much.
    pub(crate) bind: Option<Reach>,
    /// Attributes of the mount itself.
    pub(crate) attributes: Attributes,
    /// Attributes of it and all mounts below (`rro` and its like).
    pub(crate) tree_attributes: Attributes,
    /// Propagation, and how far.
    pub(crate) propagation: Option<(MountPropagationFlags, Reach)>,
    /// Whether a tmpfs starts with what it covers.
    pub(crate) copy_up: bool,
    /// Whether the mount's ids are mapped, and how far.
    pub(crate) id_map: Option<Reach>,
    /// Whether a mount is only to be changed.
    pub(crate) remount: bool,
    /// The file system's own parameters, in order.
    pub(crate) parameters: Vec<Parameter>,
}

/// A parameter of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) key: String,
    /// Its value; none for a flag.
    pub(crate) value: Option<String>,
}

impl Options {
    /// Sorts options.
    pub(crate) fn parse<S: AsRef<str>>(words: &[S]) -> Self {
        let mut options = Self {
            bind: None,
            attributes: Attributes::NONE,
            tree_attributes: Attributes::NONE,
            propagation: None,
            copy_up: false,
            id_map: None,
            remount: false,
            parameters: Vec::new(),
        };
        for word in words {
            options.add(word.as_ref());
        }
        options
    }

    fn add(&mut self, word: &str) {
        if let Some((set, clear)) = attribute(word) {
            return self.attributes.add(set, clear);
        }
        if let Some((set, clear)) = word.strip_prefix('r').and_then(attribute) {
            return self.tree_attributes.add(set, clear);
        }
        if let Some(propagation) = propagation(word) {
            self.propagation = Some(propagation);
            return;
        }
        match word {
            "defaults" | "" => {}
            "bind" => self.bind = self.bind.or(Some(Reach::Mount)),
            "rbind" => self.bind = Some(Reach::Tree),
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.id_map = Some(Reach::Mount),
            "ridmap" => self.id_map = Some(Reach::Tree),
            "remount" => self.remount = true,
            // Negations of flags that are off unless given.
            "async" | "nomand" | "nolazytime" | "noiversion" | "loud" | "norelatime" => {}
            _ => self.parameters.push(parameter(word)),
        }
    }

    /// Whether the mount is to be read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
        self.attributes.set.contains(read_only) || self.tree_attributes.set.contains(read_only)
    }
}

fn parameter(word: &str) -> Parameter {
    match word.split_once('=') {
        Some((key, value)) => Parameter {
            key: key.into(),
            value: Some(value.into()),
        },
        None => Parameter {
            key: word.into(),
            value: None,
        },
    }
}

/// The attributes that a word sets and clears. Access times are one field of three values, so that
/// setting one clears them all first.
fn attribute(word: &str) -> Option<(MountAttrFlags, MountAttrFlags)> {
    use MountAttrFlags as Flags;
    let none = Flags::empty();
    let atime = Flags::MOUNT_ATTR__ATIME;
    Some(match word {
        "ro" => (Flags::MOUNT_ATTR_RDONLY, none),
        "rw" => (none, Flags::MOUNT_ATTR_RDONLY),
        "nosuid" => (Flags::MOUNT_ATTR_NOSUID, none),
        "suid" => (none, Flags::MOUNT_ATTR_NOSUID),
        "nodev" => (Flags::MOUNT_ATTR_NODEV, none),
        "dev" => (none, Flags::MOUNT_ATTR_NODEV),
        "noexec" => (Flags::MOUNT_ATTR_NOEXEC, none),
        "exec" => (none, Flags::MOUNT_ATTR_NOEXEC),
        "nodiratime" => (Flags::MOUNT_ATTR_NODIRATIME, none),
        "diratime" => (none, Flags::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => (Flags::MOUNT_ATTR_NOSYMFOLLOW, none),
        "symfollow" => (none, Flags::MOUNT_ATTR_NOSYMFOLLOW),
        "noatime" => (Flags::MOUNT_ATTR_NOATIME, atime),
        "strictatime" => (Flags::MOUNT_ATTR_STRICTATIME, atime),
        "relatime" | "atime" | "nostrictatime" => (Flags::MOUNT_ATTR_RELATIME, atime),
        _ => return None,
    })
}

/// The propagation that a word names (mount_namespaces(7)).
pub(crate) fn propagation(word: &str) -> Option<(MountPropagationFlags, Reach)> {
    let flags = |word| {
        Some(match word {
            "shared" => MountPropagationFlags::SHARED,
            "slave" => MountPropagationFlags::DOWNSTREAM,
            "private" => MountPropagationFlags::PRIVATE,
            "unbindable" => MountPropagationFlags::UNBINDABLE,
            _ => return None,
        })
    };
    match flags(word) {
        Some(found) => Some((found, Reach::Mount)),
        None => Some((flags(word.strip_prefix('r')?)?, Reach::Tree)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Options {
        Options::parse(&words.split(',').collect::<Vec<_>>())
    }

    #[test]
    fn words_go_where_they_belong() {
        let options = parse("rbind,ro,nosuid,rslave,size=65536k,huge,idmap,tmpcopyup");
        assert_eq!(options.bind, Some(Reach::Tree));
        assert!(options.is_read_only());
        assert!(options.attributes.set.contains(MountAttrFlags::MOUNT_ATTR_NOSUID));
        let slave = (MountPropagationFlags::DOWNSTREAM, Reach::Tree);
        assert_eq!(options.propagation, Some(slave));
        assert_eq!(options.id_map, Some(Reach::Mount));
        assert!(options.copy_up);
        let words: Vec<_> = options.parameters.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(words, ["size", "huge"]);
    }

    #[test]
    fn the_last_word_wins() {
        assert!(!parse("ro,rw").is_read_only());
        assert!(parse("rw,ro").is_read_only());
        let clear = parse("ro,rw").attributes.clear;
        assert_eq!(clear, MountAttrFlags::MOUNT_ATTR_RDONLY);
    }

    #[test]
    fn r_before_an_attribute_reaches_the_tree() {
        let options = parse("bind,rro,rnoexec,relatime");
        assert!(options.tree_attributes.set.contains(MountAttrFlags::MOUNT_ATTR_NOEXEC));
        assert!(options.is_read_only());
        assert_eq!(options.attributes.clear, MountAttrFlags::MOUNT_ATTR__ATIME);
    }
}
