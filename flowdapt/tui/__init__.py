"""The terminal workstation: a process of its own, which knows the daemon by its socket alone.

A screen: subclass `screens.view.View`, name it in `screens/catalogue.py`. A key: a row in `keys.py`
and a method `act_ID` on the screen. A command: a row in `commands.py`. A dialog: `widgets/dialogs.py`,
awaited as `await self.app.ask(Confirm(...))`. The page docs/explanation/tui.md tells it at length.
"""
