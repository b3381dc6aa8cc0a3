"""Placeholder."""

import streamlit as st


def render() -> None:
    """Render."""
    st.title("model")
