//! Writes the rows of a batch, into whatever tables the connection finds: the live ones, a replay's, or its own.
use super::{ProjectionError, batch::Rows};
use crate::sql::{checkpoint::Advance, write};
use sqlx::PgConnection;

/// How `read.write_rows` says that a row to be updated isn't there.
const NO_DATA_FOUND: &str = "P0002";

/// With `advance` only if the checkpoint can be moved so: `false`, and nothing is written, when it can't.
pub(super) async fn write_rows(
    conn: &mut PgConnection,
    advance: Option<&Advance>,
    rows: &Rows,
) -> Result<bool, ProjectionError> {
    write::rows(conn, advance, rows).await.map_err(|error| missing(&error).unwrap_or(error.into()))
}

fn missing(error: &sqlx::Error) -> Option<ProjectionError> {
    let error = error.as_database_error().filter(|error| error.code().as_deref() == Some(NO_DATA_FOUND))?;
    Some(ProjectionError::MissingRows { table: error.table()?.to_owned(), counts: error.message().to_owned() })
}
