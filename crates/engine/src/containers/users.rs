//! Who a process in a container is: `--user`, `/etc/passwd`, `/etc/group`.
//!
//! The files are the container's own and are never trusted: they are read through held
//! descriptors, with a limit, and parsed leniently as the C library does.

use corten_oci::runtime::User;

use crate::error::{Error, Result};

/// A user's identity and home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// For the runtime.
    pub(crate) user: User,
    /// The home directory.
    pub(crate) home: String,
}

/// One line of `/etc/passwd`.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Resolves `user[:group]`, each a name or a number, and additional groups.
///
/// # Errors
/// `Invalid` when a name is in neither file, in Docker's words.
pub(crate) fn resolve(spec: &str, additional: &[String], passwd: &str, group: &str) -> Result<Identity> {
    let (user, wanted_group) = spec.split_once(':').unwrap_or((spec, ""));
    let account = find_account(user, passwd)?;
    let (uid, mut gid, home) = match &account {
        Found::Account(account) => (account.uid, account.gid, account.home),
        Found::Number(uid) => (*uid, 0, "/"),
    };
    let mut groups = Vec::new();
    if wanted_group.is_empty() {
        if let Found::Account(account) = &account {
            groups.extend(memberships(account.name, group));
        }
    } else {
        gid = find_group(wanted_group, group).ok_or_else(|| {
            Error::invalid(format!(
                "unable to find group {wanted_group}: no matching entries in group file"
            ))
        })?;
    }
    for name in additional {
        groups.push(find_group(name, group).ok_or_else(|| {
            Error::invalid(format!(
                "Unable to find group {name}: no matching entries in group file"
            ))
        })?);
    }
    // Docker always has the primary group among the additional ones.
    let mut all = vec![gid];
    for id in groups {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    let home = if home.is_empty() { "/" } else { home };
    Ok(Identity {
        user: User {
            uid,
            gid,
            additional_gids: all,
            ..User::default()
        },
        home: home.to_owned(),
    })
}

enum Found<'a> {
    Account(Account<'a>),
    Number(u32),
}

fn find_account<'a>(user: &str, passwd: &'a str) -> Result<Found<'a>> {
    let wanted = if user.is_empty() { "0" } else { user };
    let number = wanted.parse::<u32>().ok();
    let account = accounts(passwd).find(|account| match number {
        Some(uid) => account.uid == uid,
        None => account.name == wanted,
    });
    match (account, number) {
        (Some(account), _) => Ok(Found::Account(account)),
        (None, Some(uid)) if i32::try_from(uid).is_ok() => Ok(Found::Number(uid)),
        (None, Some(_)) => Err(Error::invalid("uids and gids must be in range 0-2147483647")),
        (None, None) => Err(Error::invalid(format!(
            "unable to find user {user}: no matching entries in passwd file"
        ))),
    }
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or("");
        Some(Account { name, uid, gid, home })
    })
}

/// Name, number and members of each group.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or("")))
    })
}

fn memberships<'a>(name: &'a str, group: &'a str) -> impl Iterator<Item = u32> + 'a {
    groups(group)
        .filter(move |(_, _, members)| members.split(',').any(|member| member.trim() == name))
        .map(|(_, gid, _)| gid)
}

fn find_group(wanted: &str, group: &str) -> Option<u32> {
    let number = wanted.parse::<u32>().ok();
    groups(group)
        .find(|(name, gid, _)| *name == wanted || Some(*gid) == number)
        .map(|(_, gid, _)| gid)
        .or(number.filter(|gid| i32::try_from(*gid).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/var/www:/bin/false\nbroken\n+::::::\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,web\nweb:x:33:\nlogs:x:44:web\n";

    #[test]
    fn resolves_as_docker() {
        let check = |spec, additional: &[&str], uid, gid, groups: &[u32], home: &str| {
            let additional: Vec<_> = additional.iter().map(|&g| g.to_owned()).collect();
            let identity = resolve(spec, &additional, PASSWD, GROUP).unwrap_or_else(|e| panic!("{spec}: {e}"));
            assert_eq!(
                (
                    identity.user.uid,
                    identity.user.gid,
                    identity.user.additional_gids.as_slice(),
                    identity.home.as_str()
                ),
                (uid, gid, groups, home),
                "{spec}"
            );
        };
        check("", &[], 0, 0, &[0, 10], "/root");
        check("root", &[], 0, 0, &[0, 10], "/root");
        check("web", &[], 33, 33, &[33, 10, 44], "/var/www");
        check("33", &[], 33, 33, &[33, 10, 44], "/var/www");
        check("web:root", &[], 33, 0, &[0], "/var/www");
        check("1000:1000", &[], 1000, 1000, &[1000], "/");
        check("1000", &[], 1000, 0, &[0], "/");
        check("1000:7", &["logs", "99"], 1000, 7, &[7, 44, 99], "/");
    }

    #[test]
    fn names_who_is_missing() {
        let check = |spec, additional: &[String], expected: &str| {
            assert_eq!(
                resolve(spec, additional, PASSWD, GROUP).unwrap_err().to_string(),
                expected
            );
        };
        check(
            "nosuch",
            &[],
            "unable to find user nosuch: no matching entries in passwd file",
        );
        check(
            "web:nosuch",
            &[],
            "unable to find group nosuch: no matching entries in group file",
        );
        check(
            "web",
            &["nosuch".into()],
            "Unable to find group nosuch: no matching entries in group file",
        );
        check("4294967295", &[], "uids and gids must be in range 0-2147483647");
    }
}
