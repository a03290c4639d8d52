//! Files for their owner only that appear whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::domain::ClientId;

/// An empty file of mode 0600 beside `path`, in which to prepare what [`publish`] then gives that name.
/// Missing folders are made, with mode 0700.
pub(super) fn draft(path: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder_of(path))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Any word that nobody else takes will do; a client ID is one.
    name.push(format!(".{}", ClientId::generate()));
    let draft = path.with_file_name(name);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    Ok(draft)
}

/// Replaces what is in `draft` and waits until it is on the disk.
pub(super) fn write(draft: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives `draft` the name `path`, or drops it if that is taken: of several processes that race, the first one's stays.
pub(super) fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    // Unlike a rename, a link never replaces.
    let linked = fs::hard_link(draft, path);
    fs::remove_file(draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(folder_of(path))?.sync_all(),
    }
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().unwrap_or(Path::new("/"));
    if parent.as_os_str().is_empty() {
        return Path::new(".");
    }
    parent
}
