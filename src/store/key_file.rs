use std::{
    env,
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::{
    private_file,
    seal::{KeyEncryptionKey, SealError},
};

impl KeyEncryptionKey {
    /// The key in the environment variable `name`.
    pub fn from_environment(name: &str) -> Result<Self, SealError> {
        let text = env::var(name).ok().filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| SealError::NoVariable(name.to_owned()))?;
        Self::from_text(&text)
    }

    /// The key in the file at `path`, which nobody but its owner may use.
    pub fn from_file(path: &Path) -> Result<Self, SealError> {
        let file = File::open(path).map_err(|error| unusable(path, &error))?;
        // The opened file is asked, not the path: what was judged is what is read.
        let mode = file.metadata().map_err(|error| unusable(path, &error))?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SealError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(LONGEST_FILE).read_to_string(&mut text).map_err(|error| unusable(path, &error))?;
        Self::from_text(&text).map_err(|_| SealError::NotAKeyFile(path.to_owned()))
    }

    /// The key in the file at `path`; if there is none, a fresh key is put there, with mode 0600.
    ///
    /// Processes that race for this end with one key: the file appears whole, and only the first one's.
    pub fn from_file_or_create(path: &Path) -> Result<Self, SealError> {
        let read = Self::from_file(path);
        if !matches!(read, Err(SealError::File { kind: io::ErrorKind::NotFound, .. })) {
            return read;
        }
        create(path).map_err(|error| unusable(path, &error))?;
        Self::from_file(path)
    }
}

fn create(path: &Path) -> io::Result<()> {
    let draft = private_file::draft(path)?;
    private_file::write(&draft, &KeyEncryptionKey::generate().to_text())?;
    private_file::publish(&draft, path)
}

fn unusable(path: &Path, error: &io::Error) -> SealError {
    SealError::File { path: path.to_owned(), kind: error.kind() }
}

/// Longer than any key, so that a wrong file is not read whole.
const LONGEST_FILE: u64 = 128;

#[cfg(test)]
mod tests {
    use std::{fs, sync::Barrier, thread};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_missing_file_is_made_for_its_owner_only_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("var/keys/store.key");
        let made = KeyEncryptionKey::from_file_or_create(&path).unwrap();
        let read = KeyEncryptionKey::from_file_or_create(&path).unwrap();
        assert_eq!(made.to_text(), read.to_text());
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn many_that_race_for_a_missing_file_end_with_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let start = Barrier::new(16);
        let keys: Vec<String> = thread::scope(|scope| {
            let race = || {
                start.wait();
                KeyEncryptionKey::from_file_or_create(&path).unwrap().to_text()
            };
            let racers: Vec<_> = (0..16).map(|_| scope.spawn(race)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        KeyEncryptionKey::from_file_or_create(&path).unwrap();
        for bits in [0o640, 0o604, 0o620, 0o666, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
            let error = KeyEncryptionKey::from_file(&path).unwrap_err();
            assert_eq!(error, SealError::Exposed { path: path.clone(), mode: bits });
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(KeyEncryptionKey::from_file(&path).is_ok());
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let long = "A".repeat(1000);
        for text in ["", "password\n", long.as_str()] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = KeyEncryptionKey::from_file_or_create(&path).err();
            assert_eq!(error, Some(SealError::NotAKeyFile(path.clone())));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_missing_file_or_variable_says_so() {
        let path = Path::new("/nonexistent/store.key");
        assert_eq!(
            KeyEncryptionKey::from_file(path).unwrap_err(),
            SealError::File { path: path.to_owned(), kind: io::ErrorKind::NotFound }
        );
        let name = "SCOPEGATE_TEST_NO_SUCH_VARIABLE";
        assert_eq!(KeyEncryptionKey::from_environment(name).unwrap_err(), SealError::NoVariable(name.to_owned()));
    }
}
