"""What is done about an event: a command, a message to a web address, a message by MQTT.

Each kind of action is a file. `runner` runs them in a thread, so that listening never waits.
"""
