"""What Streamlit runs for every look at a page."""

from search_ui.shell import show

show()
