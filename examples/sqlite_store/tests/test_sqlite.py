from whatworks_sqlite import SqliteStore

from whatworks.testing import StoreConformance


class TestSqlite(StoreConformance):
    def open(self, path, dim):
        return SqliteStore(path, dim=dim)
