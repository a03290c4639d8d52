use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A small file system in memory of its own, unmounted and removed with this value. It outlives who uses it.
pub struct Mounted {
    folder: TempDir,
}

impl Mounted {
    /// `None`, said on standard error, where mounting is not permitted. In CI root must be able to.
    pub fn of_size(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = format!("size={size},mode=0700");
        let Err(why) = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], folder.path()) else {
            return Some(Self { folder });
        };
        let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        assert!(root || env::var_os("CI").is_none(), "CI runs these tests as root: {why}");
        eprintln!("skipped: nothing can be mounted here: {why}");
        None
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves no byte free; removing the file it returns frees them again.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let full = fs::write(&ballast, vec![0; 64 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        ballast
    }

    /// From now on nobody who opens a file here can write to it. A file system with files that are open for writing
    /// cannot become read-only as a whole, so a read-only view of it is put over it.
    pub fn make_read_only(&self) {
        let path = self.path().to_str().unwrap();
        mount(&["--bind", path], self.path()).unwrap();
        mount(&["-o", "remount,bind,ro"], self.path()).unwrap();
        fs::write(self.path().join("probe"), "").expect_err("the folder is read-only");
    }

    pub fn make_writable(&self) {
        mount(&["-o", "remount,bind,rw"], self.path()).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // One for the file system, one for each view over it; the last one finds nothing.
        while unmount(self.path()) {}
    }
}

fn mount(arguments: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(path).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(())
}

/// Also while a process still has files open there: it goes when they are closed.
fn unmount(path: &Path) -> bool {
    Command::new("umount").arg("--lazy").arg(path).output().is_ok_and(|output| output.status.success())
}
