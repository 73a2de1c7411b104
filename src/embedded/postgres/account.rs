//! Which account PostgreSQL runs under: ours, unless we are root, as which it refuses to run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::embedded::supervise::Account;

/// The account that by custom owns nothing.
const NOBODY: Account = Account { uid: 65534, gid: 65534 };

/// `None` when we may run it ourselves. As root: the owner of `data` where it exists already, else the machine's `postgres`
/// account, else `nobody`.
pub(super) fn choose(data: &Path) -> Option<Account> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let owner = fs::metadata(data).ok().filter(|data| data.uid() != 0);
    if let Some(owner) = owner {
        return Some(Account { uid: owner.uid(), gid: owner.gid() });
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    Some(named(&passwd, "postgres").or_else(|| named(&passwd, "nobody")).unwrap_or(NOBODY))
}

fn named(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_name_and_root_never_is() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104:PostgreSQL,,,:/var/lib:/bin/bash\nbad:x:a:b\n";
        assert_eq!(named(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(named(passwd, "root"), None);
        assert_eq!(named(passwd, "bad"), None);
        assert_eq!(named(passwd, "nobody"), None);
    }
}
