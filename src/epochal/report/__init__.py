"""What people look at: figures as PNG, and the experiment log as Markdown."""
