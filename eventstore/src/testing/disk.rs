//! A disk so small that it can be filled: a `tmpfs` in a mount namespace of the server's own, which ends with it.
//!
//! Root mounts it and then gives up being root. Anybody else needs unprivileged user namespaces.
use std::path::Path;
use std::process::Command;

/// Runs `$IN_NAMESPACE` where a mount is nobody else's, and removes the folder once that has ended: inside, the mount holds it.
const OUTSIDE: &str = r#"trap '' PIPE
unshare $UNSHARE sh -c "$IN_NAMESPACE" "$0" "$@"
rm -rf "$2"
"#;
/// Mounts by `$OPTIONS`, then is the guard, as `$OWNER` and `$GROUP`.
const AS_ROOT: &str = r#"mount -t tmpfs -o "$OPTIONS" waybill-test "$2/small" &&
exec setpriv --reuid "$OWNER" --regid "$GROUP" --clear-groups sh -c "$GUARD" "$0" "$@""#;
/// Root only inside; PostgreSQL must not see even that.
const AS_OTHER: &str = r#"mount -t tmpfs -o "$OPTIONS" waybill-test "$2/small" &&
exec unshare --user --map-user=1000 --map-group=1000 sh -c "$GUARD" "$0" "$@""#;

/// What lies on the small disk; the rest lies beside it.
#[derive(Clone, Copy, Debug)]
pub enum SmallDisk {
    /// Tables and indexes.
    Data { mib: u32 },
    /// The write-ahead log.
    Wal { mib: u32 },
}

impl SmallDisk {
    /// The shell that is to run the guard, with the disk mounted at `small` in the server's folder.
    pub(super) fn shell(self, folder: &Path, account: Option<(u32, u32)>, guard: &str) -> Result<Command, String> {
        let small = folder.join("small");
        std::fs::create_dir(&small).map_err(|e| format!("no folder to mount on: {e}"))?;
        let mut command = Command::new("sh");
        command.args(["-c", OUTSIDE]);
        let mib = match self {
            SmallDisk::Data { mib } => {
                command.env("DATA", small.join("data")).env("WAL", folder.join("wal"));
                mib
            }
            SmallDisk::Wal { mib } => {
                command.env("DATA", folder.join("data")).env("WAL", small.join("wal"));
                mib
            }
        };
        match account {
            Some((uid, gid)) => {
                command.env("OWNER", uid.to_string()).env("GROUP", gid.to_string());
                command.env("OPTIONS", format!("size={mib}m,mode=700,uid={uid},gid={gid}"));
                command.env("UNSHARE", "--mount").env("IN_NAMESPACE", AS_ROOT);
            }
            None => {
                command.env("OPTIONS", format!("size={mib}m,mode=700"));
                command.env("UNSHARE", "--user --map-root-user --mount").env("IN_NAMESPACE", AS_OTHER);
            }
        }
        command.env("GUARD", guard).env("SEGMENT", "1");
        Ok(command)
    }
}
