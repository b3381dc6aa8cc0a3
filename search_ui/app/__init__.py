"""The script that Streamlit runs, alone in its folder: Streamlit puts that first on the path."""
