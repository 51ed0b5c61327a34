"""The page of a trail that came by logical replication is that of the server where it was recorded."""

from __future__ import annotations

from urllib.parse import urlencode

from sqlalchemy.dialects import postgresql

from tests.page.app import Article, User, audit_logger, create_app, db
from tests.page.conftest import dispose, fill
from tests.replication import TRAIL, publisher_and_subscriber, subscription


def test_the_page_is_the_same() -> None:
    with publisher_and_subscriber() as (publisher, subscriber):
        source, copy = create_app(publisher, with_undo=False), create_app(subscriber, with_undo=False)
        with copy.app_context():
            db.create_all()
            with db.engine.begin() as connection:
                audit_logger.install(connection)
        fill(source)
        quote = postgresql.dialect().identifier_preparer.quote
        tables = ", ".join(quote(model.__tablename__) for model in (Article, User))
        with subscription(publisher, subscriber, f"{TRAIL}, {tables}"):
            record = urlencode({"table": Article.__tablename__, "key": "one"})
            for address in ("/audit/", "/audit/transaction/2", f"/audit/record?{record}"):
                pages = [app.test_client().get(address) for app in (source, copy)]
                assert [page.status_code for page in pages] == [200, 200], address
                assert pages[0].text == pages[1].text
        dispose(source)
        dispose(copy)
