"""Visit the application."""

from app import app

assert app.test_client().post("/write").text == "done"
