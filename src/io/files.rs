//! Files that the programs themselves open: the configuration and the library's directory. Blocks are
//! opened in `blobs`, the store in `spooler`.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file or a directory to read.
///
/// # Errors
/// The system's.
pub fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Makes a file to write, in place of one that is there.
///
/// # Errors
/// The system's.
pub fn create(path: &Path) -> io::Result<File> {
    File::create(path)
}
