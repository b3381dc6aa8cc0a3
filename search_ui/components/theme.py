"""How the pages look: options of Streamlit, and a style of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_ui.components.palette import ACCENT_DARK, ACCENT_LIGHT, QUERY

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIGHT = {
    "primaryColor": ACCENT_LIGHT,
    "backgroundColor": "#FFFFFF",
    "secondaryBackgroundColor": "#F4F6F5",
    "textColor": "#1D2523",
    "borderColor": "#D5DCDA",
    "linkColor": ACCENT_LIGHT,
}
_DARK = {
    "primaryColor": ACCENT_DARK,
    "backgroundColor": "#12181A",
    "secondaryBackgroundColor": "#1B2326",
    "textColor": "#E6ECEA",
    "borderColor": "#37433F",
    "linkColor": ACCENT_DARK,
}

OPTIONS: Mapping[str, object] = {
    **{f"theme.light.{name}": value for name, value in _LIGHT.items()},
    **{f"theme.dark.{name}": value for name, value in _DARK.items()},
    "theme.light.sidebar.backgroundColor": "#F4F6F5",
    "theme.light.sidebar.secondaryBackgroundColor": "#FFFFFF",
    "theme.dark.sidebar.backgroundColor": "#171E20",
    "theme.dark.sidebar.secondaryBackgroundColor": "#222C2F",
    "theme.baseRadius": "0.5rem",
    "theme.showWidgetBorder": True,
    "theme.headingFontWeights": [650, 650, 600, 600, 600, 600],
    "theme.headingFontSizes": ["1.9rem", "1.45rem", "1.15rem", "1rem", "0.9rem", "0.85rem"],
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
    "browser.gatherUsageStats": False,
    "global.disableWidgetStateDuplicationWarning": True,
    "server.fileWatcherType": "none",
}
"""Options of Streamlit that the pages are made for."""

STYLE = f"""
<style>
.stMainBlockContainer {{ padding: 4.4rem 2.2rem 3rem; max-width: 1800px; }}
@media (max-width: 900px) {{ .stMainBlockContainer {{ padding-inline: 1.2rem; }} }}
[data-testid="stSidebarUserContent"] {{ padding-bottom: 2rem; }}
.litho-pic {{
  position: relative; background: light-dark(#E9EDEC, #0B1012); border-radius: 0.4rem;
  overflow: hidden; aspect-ratio: 1; display: grid; place-items: center;
  container-type: inline-size;
}}
.litho-pic img {{ width: 100%; height: 100%; object-fit: contain; display: block; }}
.litho-pic .none {{ font-size: 0.8rem; opacity: 0.7; padding: 0.5rem; text-align: center; }}
.litho-pic .rank, .litho-pic .place, .litho-bar {{
  position: absolute; font-size: 0.72rem; line-height: 1.25; color: #FFF;
  background: rgba(10, 18, 18, 0.78); border-radius: 0.25rem; padding: 0.08rem 0.36rem;
}}
.litho-pic .rank {{ top: 0.35rem; left: 0.35rem; font-weight: 650; }}
.litho-pic .place {{ top: 0.35rem; right: 0.35rem; }}
.litho-bar {{ bottom: 0.35rem; left: 0.35rem; white-space: nowrap; }}
.litho-bar i {{ display: block; height: 3px; background: #FFF; margin-top: 1px; min-width: 4px; }}
.litho-text {{ font-size: 0.85rem; line-height: 1.45; margin-top: 0.45rem; }}
.litho-text b {{ font-weight: 650; overflow-wrap: anywhere; }}
.litho-text .whose {{
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
}}
[class*="st-key-card_find_"] .litho-text .line:first-child {{
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; white-space: normal;
}}
.litho-text .sub {{ padding-left: 0.6rem; font-size: 0.8rem; }}
.litho-text .dim, .litho-dim {{ opacity: 0.72; }}
.litho-text .line {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.litho-meter {{
  height: 5px; border-radius: 3px; background: light-dark(#DDE4E2, #2B3639);
  margin: 0.15rem 0 0.3rem; overflow: hidden;
}}
.litho-meter i {{
  display: block; height: 100%; background: light-dark({ACCENT_LIGHT}, {ACCENT_DARK});
}}
.litho-sim {{ display: flex; justify-content: space-between; gap: 0.5rem; }}
[class*="st-key-card_"] {{ position: relative; }}
.stGridCell [data-testid="stLayoutWrapper"]:has(> [class*="st-key-card_"]) {{ flex-grow: 1; }}
[class*="st-key-card_"]:has(.litho-marked) {{ border-color: {QUERY.color}; border-width: 2px; }}
[class*="st-key-open_"] {{ position: absolute !important; inset: 0 0 2.6rem 0; z-index: 2; }}
[class*="st-key-open_"] .stButton, [class*="st-key-open_"] button {{
  width: 100% !important; height: 100%; opacity: 0;
}}
[class*="st-key-open_"] button {{ cursor: zoom-in; }}
[class*="st-key-open_"] button:focus-visible {{
  opacity: 1; background: transparent !important; color: transparent !important;
  box-shadow: 0 0 0 3px light-dark({ACCENT_LIGHT}, {ACCENT_DARK});
}}
[class*="st-key-card_find_"] [class*="st-key-open_"] {{ inset: 0; }}
[class*="st-key-actions_"] button {{ font-size: 0.82rem; min-height: 1.8rem; padding: 0; }}
[class*="st-key-actions_"] button p {{ font-size: 0.82rem; }}
.st-key-query_actions button {{ padding-inline: 0.55rem; }}
[class*="st-key-icon_"] button [data-testid="stMarkdownContainer"] {{
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}}
[class*="st-key-card_"]:hover .litho-pic img {{ filter: brightness(1.08); }}
.litho-funnel {{ font-size: 0.86rem; display: grid; gap: 0.45rem; margin-bottom: 0.5rem; }}
.litho-funnel .step {{ display: flex; justify-content: space-between; gap: 1rem; }}
.litho-funnel .n {{ font-variant-numeric: tabular-nums; }}
.litho-funnel .track {{
  display: block; background: light-dark(#E9EDEC, #232D30); border-radius: 3px; height: 0.4rem;
}}
.litho-funnel .track i {{
  display: block; height: 100%; border-radius: 3px; min-width: 2px;
  background: light-dark({ACCENT_LIGHT}, {ACCENT_DARK});
}}
.litho-hist {{
  display: flex; align-items: flex-end; gap: 1px; height: 2.4rem; margin: -0.5rem 0 -0.2rem;
}}
.litho-hist i {{ flex: 1; border-radius: 1px 1px 0 0; }}
.litho-hist .in {{ background: light-dark({ACCENT_LIGHT}, {ACCENT_DARK}); opacity: 0.75; }}
.litho-hist .out {{ background: light-dark(#C3CCCA, #46524F); }}
.litho-facts {{
  display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.2rem; font-size: 0.88rem;
  margin: 0; padding: 0 !important;
}}
.litho-facts dt {{ opacity: 0.72; }}
@media (min-width: 1100px) {{
  [role="dialog"] .litho-facts {{ grid-template-columns: repeat(2, max-content 1fr); }}
}}
[role="dialog"] h3 {{ font-size: 1.1rem; }}
.litho-facts dt, .litho-facts dd {{ margin: 0; padding: 0; }}
.litho-facts dd {{ overflow-wrap: anywhere; }}
[data-testid="stForm"] [data-testid="InputInstructions"] {{ display: none; }}
/* It rounds: of 512 MB it says 1GB. What is under it tells. */
[data-testid="stFileUploaderDropzoneInstructions"] {{ display: none; }}
/* What is looked at again every few seconds does not fade each time. */
.st-key-indexing [data-stale="true"] {{ opacity: 1 !important; }}
/* What the page has moved on from is not shown until Streamlit takes it away. */
.stApp:has(.st-key-busy [data-testid="stSkeletonElement"]) .st-key-answer {{ display: none; }}
.stGrid[class*="st-key-gallery_"], .stGrid[class*="st-key-two_"] {{ padding-top: 2px !important; }}
.litho-head {{ font-size: 1.1rem; font-weight: 600; margin: 0; padding: 0.4rem 0 0; }}
.litho-query {{ display: flex; gap: 1rem; align-items: flex-start; }}
.litho-query-pic {{ flex: 0 0 9.5rem; max-width: 40%; }}
.litho-query .litho-text {{ margin-top: 0; min-width: 0; font-size: 0.92rem; }}
.litho-whole {{ aspect-ratio: auto; }}
.litho-region {{ position: absolute; border: 2px solid {QUERY.color}; outline: 999px solid #0007; }}
.litho-legend {{ display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; font-size: 0.84rem; }}
.litho-chain {{ font-size: 0.9rem; line-height: 1.6; }}
</style>
"""
"""The pages' own style; it follows the theme by ``light-dark``."""
