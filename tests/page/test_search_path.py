"""The page runs no function and no operator of others, whatever the search path leads to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import URL, func, select

from tests.contract.attack import dismiss, surround
from tests.page.app import Article, Comment, Line, Part, create_app, db
from tests.page.conftest import dispose, fill


def test_no_view_runs_what_others_made(server: URL, new_database: Callable[..., AbstractContextManager[URL]]) -> None:
    with new_database() as url:
        app = create_app(url, log_reads=True)
        fill(app)
        with app.app_context():
            db.session.add_all([Comment(id=1, article_key="one"), Line(article_key="one", number=1)])
            db.session.flush()
            db.session.add_all([Comment(id=2, parent_id=1), Part(id=1, article_key="one", line=1)])
            db.session.commit()
        with app.app_context(), db.engine.begin() as connection:
            surround(connection)
        client, name = app.test_client(), Article.__tablename__
        with app.app_context(), db.engine.connect() as connection:
            now = connection.scalar(select(func.clock_timestamp())).isoformat()
        for view, asked in (
            ("", {}),
            ("", {"client_addr": "192.0.2.0/24", "text": "fox"}),
            ("", {"actor": "1", "table": name, "verb": "insert", "since": "2000-01-01", "meta": "request_id=req-1"}),
            ("actor", {"id": "1"}),
            ("transaction/1", {}),
            ("transaction/2", {}),
            ("transaction/2/undo", {}),
            ("record", {"table": name, "key": "one"}),
            ("record", {"table": "comment", "key": "1"}),
            ("record", {"table": "line", "key": '["one", 1]'}),
            ("record", {"table": "part", "key": "1"}),
            ("record/compare", {"table": name, "key": "one", "a": "1", "b": "2"}),
            ("record/compare", {"table": name, "key": "one", "a": "1", "b": "now"}),
            ("record/as-of", {"table": name, "key": "one", "when": now}),
        ):
            response = client.get(f"/audit/{view}", query_string=asked)
            assert response.status_code == 200, (view, response.text)
        dispose(app)
    dismiss(server)
