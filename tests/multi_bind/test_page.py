"""Two trails of one application have a page each."""

from __future__ import annotations

import pytest
from audit_core import ConfigurationError

from tests.contract.subject import Subject
from tests.multi_bind.app import Article, Report, audit_logger, create_app, db, reports_logger


def test_each_logger_shows_its_own_database(subject: Subject) -> None:
    app = create_app(subject.engine.url)
    audit_logger.init_page(app, access=lambda: True, allow_undo=lambda: True)
    with pytest.raises(ConfigurationError, match="url_prefix '/audit' has the page of another AuditLogger"):
        reports_logger.init_page(app, access=lambda: True)
    reports_logger.init_page(app, "/reports-audit", access=lambda: not app.config.get("CLOSED"))
    with app.app_context():
        db.session.add_all([Article(title="Hello"), Report(title="Profit", secret="confidential")])
        db.session.commit()
    client = app.test_client()
    log, reports = client.get("/audit/").text, client.get("/reports-audit/").text
    assert ("/audit/record?table=articles" in log, "reports" in log) == (True, False)
    assert ("/reports-audit/record?table=reports" in reports, "articles" in reports) == (True, False)
    for view in ("record?", "record/compare?a=1&b=now&"):
        shown = client.get(f"/reports-audit/{view}table=reports&key=1")
        assert (shown.status_code, "Profit" in shown.text, "confidential" in shown.text) == (200, True, False)
    assert client.get("/audit/transaction/1/undo").status_code == 200
    assert client.get("/reports-audit/transaction/1/undo").status_code == 404
    app.config["CLOSED"] = True
    assert (client.get("/audit/").status_code, client.get("/reports-audit/").status_code) == (200, 403)
